//! OMERO's own processor, unchanged, whose scripts get the variables that ours says.
