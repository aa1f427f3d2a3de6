/* What arrays are made of: all that kernels need of this floor, so that they are compiled anew for little else. */
#ifndef GRC_ELEMENTS_H
#define GRC_ELEMENTS_H

enum grc_dtype { GRC_F32, GRC_F64, GRC_DTYPE_COUNT };
#define GRC_PANEL_BYTES 64 /* of a panel's row, and of a cache line: all regions begin at multiples */

#endif
