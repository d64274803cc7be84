"""The discrete autoencoder of DALL-E: pictures to 8192 tokens and back."""
