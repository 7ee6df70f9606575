"""The tables of the paper beside what was measured: rows, scales, questions, their page and figures."""
