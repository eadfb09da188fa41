"""Two bundled families of problems, sums and digits, and the tiny policy that answers them."""
