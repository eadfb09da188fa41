from tests.real.fixtures import real_folder, real_tokenizer

__all__ = ["real_folder", "real_tokenizer"]
