"""Images are opened only inside their root, only whole, and always as 8-bit RGB."""

from __future__ import annotations

import base64
import hashlib
import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image

from omegaprm.engine import images
from omegaprm.engine.image_paths import relative
from omegaprm.engine.images import ImageError


def save(path: Path, image: Image.Image | None = None, **options: object) -> Path:
    (image or Image.new("RGB", (6, 4), (200, 10, 30))).save(path, **options)
    return path


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp", "a.gif", "a.bmp"])
def test_every_listed_format_is_read_and_hashed_by_its_bytes(tmp_path: Path, name: str) -> None:
    path = save(tmp_path / name)

    assert images.check(path) == hashlib.sha256(path.read_bytes()).hexdigest()
    assert images.load(path).mode == "RGB"
    assert images.load(path).size == (6, 4)


def test_a_format_that_is_not_listed_is_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "a.tiff")

    with pytest.raises(ImageError, match=r"a\.tiff: must be an image in one of PNG, JPEG"):
        images.check(path)


def test_a_text_file_is_no_image(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("not a picture")

    with pytest.raises(ImageError, match="must be an image"):
        images.check(tmp_path / "a.png")


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp", "a.bmp"])
def test_a_truncated_file_is_refused(tmp_path: Path, name: str) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    path = save(tmp_path / name, Image.fromarray(noise))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    with pytest.raises(ImageError, match=name):
        images.check(path)


def png_of_size(width: int, height: int) -> bytes:
    """A PNG of a few bytes that claims any size."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    data = chunk(b"IDAT", zlib.compress(b"\0" * 100))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + data + chunk(b"IEND", b"")


@pytest.mark.parametrize("side", [8001, 10_000, 60_000])
def test_a_decompression_bomb_is_refused_before_it_is_decoded(tmp_path: Path, side: int) -> None:
    (tmp_path / "bomb.png").write_bytes(png_of_size(side, side))

    with pytest.raises(ImageError, match=f"at most {images.MAX_PIXELS} pixels"):
        images.check(tmp_path / "bomb.png")


def test_a_name_inside_the_root_resolves(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    path = save(tmp_path / "sub" / "a.png")

    assert images.resolve(tmp_path, "sub/a.png") == path.resolve()
    assert images.resolve(tmp_path, "sub/../sub/a.png") == path.resolve()


@pytest.mark.parametrize("name", ["../outside.png", "link.png", "folder/outside.png", "sub/../../outside.png"])
def test_no_name_and_no_link_leads_out_of_the_root(tmp_path: Path, name: str) -> None:
    root = tmp_path / "root"
    (root / "sub").mkdir(parents=True)
    save(tmp_path / "outside.png")
    (root / "link.png").symlink_to(tmp_path / "outside.png")
    (root / "folder").symlink_to(tmp_path)

    with pytest.raises(ImageError, match="is outside the image root"):
        images.resolve(root, name)


def test_an_absolute_path_into_the_root_resolves_also_through_a_link_to_the_root(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    path = save(tmp_path / "root" / "a.png").resolve()
    (tmp_path / "link").symlink_to(tmp_path / "root")

    for root in (tmp_path / "root", tmp_path / "link", tmp_path, Path("/")):
        assert images.resolve(root, str(path)) == path
        assert images.resolve(root, str(tmp_path / "link" / "a.png")) == path
        assert relative(root, str(path)) == str(path.relative_to(root.resolve()))


def test_an_absolute_path_outside_the_root_is_refused_with_the_rule_and_the_flag(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    path = save(tmp_path / "outside.png")
    (tmp_path / "root" / "link.png").symlink_to(path)

    for name in (str(path), str(tmp_path / "root" / "link.png"), str(tmp_path / "not-there.png")):
        with pytest.raises(ImageError) as refused:
            images.resolve(tmp_path / "root", name, "--validation-image-root")
        said = str(refused.value)
        assert name in said
        assert f"outside the image root '{tmp_path / 'root'}'. An image must lie inside it" in said
        assert "Give --validation-image-root FOLDER" in said
        with pytest.raises(ImageError, match="outside"):
            relative(tmp_path / "root", name)


def test_a_path_is_stored_as_it_is_written_or_relative_to_the_root(tmp_path: Path) -> None:
    assert relative(tmp_path, "no/such/../a.png") == "no/such/../a.png"
    assert relative(tmp_path, f"{tmp_path}/no/such/../a.png") == "no/a.png"


def test_a_message_shows_no_character_that_steers_a_terminal_and_no_whole_file(tmp_path: Path) -> None:
    for name in ("../\x1b]0;title\x07.png", "x" * 100_000, "nul\0.png", "\ud800.png", "a/\udcff.png"):
        with pytest.raises(ImageError) as refused:
            images.resolve(tmp_path, name)
        assert str(refused.value).isprintable()
        assert len(str(refused.value)) < 1000


def test_a_loop_of_links_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")

    for refuse in (images.resolve, relative):
        with pytest.raises(ImageError, match="cannot be opened"):
            refuse(tmp_path, "a/x.png")


def test_a_missing_file_a_folder_a_pipe_and_a_null_byte_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "folder.png").mkdir()

    with pytest.raises(ImageError, match="regular file"):
        images.resolve(tmp_path, "pipe.png")
    with pytest.raises(ImageError, match="regular file"):
        images.resolve(tmp_path, "folder.png")
    with pytest.raises(ImageError, match="cannot be opened"):
        images.resolve(tmp_path, "missing.png")
    with pytest.raises(ImageError, match="cannot be opened"):
        images.resolve(tmp_path, "a\0.png")
    with pytest.raises(ImageError, match="regular file"):
        images.check(tmp_path / "pipe.png")


def test_a_link_that_points_to_itself_is_refused(tmp_path: Path) -> None:
    (tmp_path / "loop.png").symlink_to(tmp_path / "loop.png")

    with pytest.raises(ImageError, match=r"loop\.png"):
        images.resolve(tmp_path, "loop.png")


def test_16_bit_levels_keep_their_meaning(tmp_path: Path) -> None:
    levels = np.array([[0, 257 * 100, 65535]], dtype=np.uint16)
    path = save(tmp_path / "deep.png", Image.fromarray(levels))

    assert np.asarray(images.load(path))[0, :, 0].tolist() == [0, 100, 255]


def test_transparent_pixels_become_white(tmp_path: Path) -> None:
    path = save(tmp_path / "clear.png", Image.new("RGBA", (2, 2), (0, 0, 0, 0)))

    assert images.load(path).getpixel((0, 0)) == (255, 255, 255)


def test_palette_and_cmyk_become_the_colours_they_show(tmp_path: Path) -> None:
    palette = save(tmp_path / "p.png", Image.new("RGB", (2, 2), (0, 128, 255)).convert("P"))
    cmyk = save(tmp_path / "c.jpg", Image.new("CMYK", (8, 8), (0, 255, 255, 0)))
    shown = images.load(palette).getpixel((0, 0))
    red, green, blue = images.load(cmyk).getpixel((4, 4))

    assert max(abs(have - want) for have, want in zip(shown, (0, 128, 255), strict=True)) < 30
    assert red > 200
    assert max(green, blue) < 60


def test_of_an_animation_the_first_frame_counts(tmp_path: Path) -> None:
    first, second = Image.new("RGB", (4, 4), "red"), Image.new("RGB", (4, 4), "blue")
    path = save(tmp_path / "two.gif", first, save_all=True, append_images=[second])

    assert images.load(path).getpixel((0, 0)) == (255, 0, 0)


def opened(url: str) -> tuple[str, bytes]:
    head, _, data = url.partition(";base64,")
    return head, base64.b64decode(data)


@pytest.mark.parametrize("suffix", ["", ".jpg", ".dat"])
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_a_data_url_names_the_type_of_the_content_and_holds_the_files_bytes(
    tmp_path: Path, kind: str, suffix: str
) -> None:
    path = tmp_path / f"picture{suffix}"
    Image.new("RGB", (6, 4), "red").save(path, kind)

    assert opened(images.data_url(path)) == (f"data:image/{kind.lower()}", path.read_bytes())


def rotated(path: Path) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    Image.linear_gradient("L").crop((0, 0, 256, 64)).convert("RGB").save(path, "JPEG", exif=exif)


def several(path: Path) -> None:
    frames = [Image.new("RGB", (6, 4), colour) for colour in ("red", "blue")]
    frames[0].save(path, "WEBP", save_all=True, append_images=frames[1:], lossless=True)


@pytest.mark.parametrize(
    "write",
    [
        rotated,
        several,
        lambda path: Image.new("RGBA", (6, 4), (255, 0, 0, 40)).save(path, "PNG"),
        lambda path: Image.new("I;16", (6, 4), 40_000).save(path, "PNG"),
        lambda path: Image.new("CMYK", (6, 4), (9, 99, 0, 0)).save(path, "JPEG"),
        lambda path: Image.new("RGB", (6, 4), "red").save(path, "BMP"),
        lambda path: Image.new("RGB", (6, 4), "red").save(path, "GIF"),
    ],
    ids=["rotated", "several", "transparent", "16 bits", "inks", "BMP", "GIF"],
)
def test_what_decoders_may_show_otherwise_is_sent_as_the_policy_sees_it(tmp_path: Path, write: object) -> None:
    assert callable(write)
    write(tmp_path / "picture")

    head, content = opened(images.data_url(tmp_path / "picture"))

    assert head == "data:image/png"
    with Image.open(io.BytesIO(content)) as sent:
        assert sent.mode == "RGB"
        assert np.array_equal(np.asarray(sent), np.asarray(images.load(tmp_path / "picture")))


def test_a_jpeg_with_more_pictures_after_it_is_sent_as_a_jpeg(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (6, 4), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "a", "MPO", save_all=True, append_images=frames[1:])

    assert opened(images.data_url(tmp_path / "a")) == ("data:image/jpeg", (tmp_path / "a").read_bytes())


def test_a_data_url_is_made_of_images_only(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("no picture")

    with pytest.raises(ImageError, match="must be an image"):
        images.data_url(tmp_path / "a.png")
