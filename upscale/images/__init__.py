"""Files <-> pixels: formats, metadata, alpha, colour spaces, resizing, atomic writing.

What passes between this room and the others is a `picture.Picture`.

Into one, by `read` and `read_frames`: `opening` lets Pillow recognise a file (with `plugins`, under `guard`);
`overlooked`, `storage` and `jxl` find out what Pillow does not tell, `sequence` which pictures are in it.
`decode` makes a picture of the samples (`modes`; `deep` for 16 bits), their colours (`color`) and what else
is said (`metadata`).

Out of one, by `write` and `write_frames`: a row of `formats` says what a format can hold, `fit` makes the
pixels so, and Pillow or one of `png`, `tiff`, `gif` and `vips` encodes them, into a file that appears whole
(`atomic`). `record` is how a result was made, kept in the file.

Without decoding: `extent` walks containers, for `sequence`, `several` (is it more than one file?) and `whole`
(is it all there?); `webp` tells how coarse one is.

Pixels in memory: `arrays` (Pillow <-> numpy), `pixels` (integers <-> floats), `depth`, `resize` and `alpha`.
Large ones lie on disk (`scratch`) and are written strip by strip (`large`). `pil` is for users of the API.
"""
