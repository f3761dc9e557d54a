"""Facts from outside, in dated files, each claim with the sources it rests on. `load.load` gives all of them. Nothing here uses the
network."""
