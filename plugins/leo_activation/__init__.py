"""LEO Activation Platform: from a CDP profile to a traced message."""
