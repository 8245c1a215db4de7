"""The story of the platform, told through its public interfaces only: `acts` is the story, `world` its stage."""
