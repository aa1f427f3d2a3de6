/* A part of gradcore.h, which includes it: the table of its functions. */
#ifndef GRADCORE_H
#error "include gradcore/gradcore.h"
#endif
#ifndef GRADCORE_API_H
#define GRADCORE_API_H

/* ---- All of it as a table, for those who load the library at run time ---- */

/* Members are only ever appended; `size` tells how many there are. */
typedef struct gradcore_api {
    uint32_t size;
    uint32_t version_major, version_minor, numerics_version;
    __typeof__(gradcore_get_build_info) *get_build_info;
    __typeof__(gradcore_list) *list;
    __typeof__(gradcore_describe) *describe;
    __typeof__(gradcore_network_create) *network_create;
    __typeof__(gradcore_network_destroy) *network_destroy;
    __typeof__(gradcore_network_get_info) *network_get_info;
    __typeof__(gradcore_network_parameter) *network_parameter;
    __typeof__(gradcore_network_read) *network_read;
    __typeof__(gradcore_network_write) *network_write;
    __typeof__(gradcore_network_initialize) *network_initialize;
    __typeof__(gradcore_network_predict) *network_predict;
    __typeof__(gradcore_network_evaluate) *network_evaluate;
    __typeof__(gradcore_pass_create) *pass_create;
    __typeof__(gradcore_pass_destroy) *pass_destroy;
    __typeof__(gradcore_pass_forward) *pass_forward;
    __typeof__(gradcore_pass_backward) *pass_backward;
    __typeof__(gradcore_pass_gradient) *pass_gradient;
    __typeof__(gradcore_pass_activation) *pass_activation;
    __typeof__(gradcore_trainer_create) *trainer_create;
    __typeof__(gradcore_trainer_destroy) *trainer_destroy;
    __typeof__(gradcore_trainer_run) *trainer_run;
    __typeof__(gradcore_trainer_gradients) *trainer_gradients;
    __typeof__(gradcore_trainer_gradient) *trainer_gradient;
    __typeof__(gradcore_trainer_norms) *trainer_norms;
    __typeof__(gradcore_trainer_state_slots) *trainer_state_slots;
    __typeof__(gradcore_trainer_state_read) *trainer_state_read;
    __typeof__(gradcore_trainer_state_write) *trainer_state_write;
    __typeof__(gradcore_trainer_get_progress) *trainer_get_progress;
    __typeof__(gradcore_trainer_set_progress) *trainer_set_progress;
    __typeof__(gradcore_optimizer_update) *optimizer_update;
    __typeof__(gradcore_gemm) *gemm;
    __typeof__(gradcore_activation_forward) *activation_forward;
    __typeof__(gradcore_activation_backward) *activation_backward;
    __typeof__(gradcore_loss) *loss;
    __typeof__(gradcore_fill) *fill;
    __typeof__(gradcore_shuffle) *shuffle;
    __typeof__(gradcore_file_save) *file_save;
    __typeof__(gradcore_file_open) *file_open;
    __typeof__(gradcore_file_encode) *file_encode;
    __typeof__(gradcore_file_decode) *file_decode;
    __typeof__(gradcore_free) *free;
    __typeof__(gradcore_file_tensors) *file_tensors;
    __typeof__(gradcore_file_tensor) *file_tensor;
    __typeof__(gradcore_file_pairs) *file_pairs;
    __typeof__(gradcore_file_pair) *file_pair;
    __typeof__(gradcore_file_close) *file_close;
    __typeof__(gradcore_trainer_set_rules) *trainer_set_rules;
    __typeof__(gradcore_trainer_ledger) *trainer_ledger;
    __typeof__(gradcore_network_evaluate_loss) *network_evaluate_loss;
    __typeof__(gradcore_loss_rows) *loss_rows;
    __typeof__(gradcore_network_set_penalty) *network_set_penalty;
    __typeof__(gradcore_network_penalty) *network_penalty;
    __typeof__(gradcore_trainer_running_read) *trainer_running_read;
    __typeof__(gradcore_trainer_running_write) *trainer_running_write;
    __typeof__(gradcore_trainer_set_group) *trainer_set_group;
    __typeof__(gradcore_optimizer_step) *optimizer_step;
    __typeof__(gradcore_optimizer_slots) *optimizer_slots;
    __typeof__(gradcore_trainer_add_average) *trainer_add_average;
    __typeof__(gradcore_average) *average;
    __typeof__(gradcore_trainer_set_matrices) *trainer_set_matrices;
    __typeof__(gradcore_trainer_factor_order) *trainer_factor_order;
    __typeof__(gradcore_trainer_factor_read) *trainer_factor_read;
    __typeof__(gradcore_trainer_factor_write) *trainer_factor_write;
    __typeof__(gradcore_network_heads) *network_heads;
    __typeof__(gradcore_network_head) *network_head;
    __typeof__(gradcore_network_evaluate_heads) *network_evaluate_heads;
    __typeof__(gradcore_trainer_conflicts) *trainer_conflicts;
    __typeof__(gradcore_trainer_set_rates) *trainer_set_rates;
    __typeof__(gradcore_pass_set_rates) *pass_set_rates;
    __typeof__(gradcore_network_schedule_penalty) *network_schedule_penalty;
    __typeof__(gradcore_trainer_write) *trainer_write;
    __typeof__(gradcore_trainer_accumulated_read) *trainer_accumulated_read;
    __typeof__(gradcore_trainer_accumulated_write) *trainer_accumulated_write;
    __typeof__(gradcore_optimizer_step_on) *optimizer_step_on;
    __typeof__(gradcore_activation) *activation;
    __typeof__(gradcore_softmax) *softmax;
    __typeof__(gradcore_loss_of) *loss_of;
    __typeof__(gradcore_multiply) *multiply;
    __typeof__(gradcore_packed_size) *packed_size;
    __typeof__(gradcore_pack) *pack;
    __typeof__(gradcore_dense_backward) *dense_backward;
    __typeof__(gradcore_trainer_reserve) *trainer_reserve;
    __typeof__(gradcore_network_branch) *network_branch;
    __typeof__(gradcore_trainer_branch) *trainer_branch;
} gradcore_api;
/* NULL where this library is of another major version, or older than the minor one asked for. */
GRADCORE_API const gradcore_api *gradcore_get_api(uint32_t major, uint32_t minor);

#endif
