import torch
from hypothesis import given
from hypothesis import strategies as st

from itersep.models.chunk import merge_chunks, split_chunks


@given(frames=st.integers(1, 60), half=st.integers(1, 12), overlap=st.booleans())
def test_merge_undoes_split(frames: int, half: int, overlap: bool) -> None:
    x = torch.randn(2, frames, 3)
    chunks = split_chunks(x, 2 * half, overlap)
    assert chunks.shape[2:] == (2 * half, 3)
    torch.testing.assert_close(merge_chunks(chunks, frames, overlap), x)


def test_chunks_overlap_by_half_and_hold_the_sequence_in_order() -> None:
    chunks = split_chunks(torch.arange(1.0, 6.0)[None, :, None], 4)[0, :, :, 0]
    assert chunks.tolist() == [[0, 0, 1, 2], [1, 2, 3, 4], [3, 4, 5, 0], [5, 0, 0, 0]]


def test_chunks_without_overlap_hold_each_frame_once() -> None:
    chunks = split_chunks(torch.arange(1.0, 6.0)[None, :, None], 4, overlap=False)[0, :, :, 0]
    assert chunks.tolist() == [[1, 2, 3, 4], [5, 0, 0, 0]]


def test_merge_averages_the_two_chunks_of_a_frame() -> None:
    chunks = torch.zeros(1, 4, 4, 1)
    chunks[0, 1] = 1.0  # frames 1 to 4 of the sequence above; each also lies in a chunk of zeros
    assert merge_chunks(chunks, 5)[0, :, 0].tolist() == [0.5, 0.5, 0.5, 0.5, 0]
