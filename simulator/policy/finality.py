"""When a block counts as final (C81): the vocabulary's rule, under the name by which the platform's rules go."""

from zjops.domain.chains import TAGS, Finality, parse_finality

__all__ = ["TAGS", "Finality", "parse_finality"]
