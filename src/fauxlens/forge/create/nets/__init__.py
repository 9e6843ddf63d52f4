"""The networks of the methods: plain torch, named as the owners of the weights named them."""
