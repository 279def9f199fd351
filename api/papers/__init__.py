"""Documents to print: their data here, their shape in Typst beside it."""
