"""The site: ``make docs`` builds it offline, and any warning ends the build."""

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent.parent), str(Path(__file__).parent / "_ext")]

import fastconv  # noqa: E402  (found by the line above)

project = "fastconv"
author = "the authors of fastconv"
release = version = fastconv.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "numpydoc", "sphinx_gallery.gen_gallery", "mathml"]
myst_enable_extensions = ["dollarmath", "amsmath", "deflist"]
myst_heading_anchors = 3
exclude_patterns = ["_build", "_ext", "gallery", "auto_gallery/**/*.ipynb", "auto_gallery/**/*.py"]
html_theme = "furo"
html_title = "fastconv"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_copyright = False
html_math_renderer = "mathml"
numpydoc_show_class_members = False
autodoc_typehints = "none"  # the docstrings say it
autodoc_member_order = "groupwise"
nitpicky = False
suppress_warnings = ["myst.strikethrough"]

sphinx_gallery_conf = {
    "examples_dirs": "gallery",
    "gallery_dirs": "auto_gallery",
    "subsection_order": ["gallery/examples", "gallery/charts"],
    "within_subsection_order": "FileNameSortKey",
    "abort_on_example_error": True,
    "download_all_examples": False,
    "show_signature": False,
    "capture_repr": (),
    "image_srcset": ["2x"],
    "write_computation_times": False,
    "min_reported_time": 1e9,  # the page is the same at every build
}
