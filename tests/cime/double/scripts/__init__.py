"""The commands of the stand-in for CIME; standard library only, for they have to start fast."""
