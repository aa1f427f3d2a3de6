/* The optimizers that take matrices as wholes, by number. */
#include "matrix.h"

void grc_update_matrix(int optimizer, const grc_matrix *m, const grc_room *room, const grc_opt_args *args,
                       grc_team *team, int t, int count)
{
    if (optimizer == GRC_OPT_muon)
        grc_muon(m, room, args, team, t, count);
    else
        grc_soap(m, room, args, team, t, count);
}
