"""Why a document could not be printed. Nothing about the invoice is wrong then; the machine or the release is.

RenderingError
├── MissingFont        the Korean font is not installed
├── MissingLibrary     Pango is not installed
└── UnknownTemplate    the document is of a template version that this release does not have
"""


class RenderingError(RuntimeError):
    """The document could not be made into a PDF."""


class MissingFont(RenderingError):
    """The Korean font is not installed; the page would be boxes or another face."""


class MissingLibrary(RenderingError):
    """The libraries that set text are not installed."""


class UnknownTemplate(RenderingError):
    """The document asks for a template version that this release does not have."""
