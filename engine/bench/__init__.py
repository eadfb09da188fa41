"""The figures that bin/bench measures, a small file each; figures.FIGURES is their table."""
