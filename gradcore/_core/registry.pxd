# The names of a family of tables.h; none where there is no such family.
cdef list listed(const char *family)
