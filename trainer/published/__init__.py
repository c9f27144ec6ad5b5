"""Systems that tutorials published: trained from a recipe, exported, measured their way and ours."""
