"""Networks of the forge: tensors in, tensors out; they know no pictures, seeds or files."""
