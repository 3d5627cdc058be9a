"""Reports for other tools: a model card on the Hugging Face hub, MLflow, Weights & Biases."""
