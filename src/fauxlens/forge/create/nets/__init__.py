"""Networks of the creation methods: tensors in, tensors out. They know no pictures, no files and no seeds."""
