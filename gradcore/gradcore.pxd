# The public C header for Cython: `from gradcore.gradcore cimport gradcore_network_create, ...`.
# Compile with gradcore/include on the include path and link with gradcore/libgradcore-1.so.
# The contracts stand in gradcore.h.
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t

cdef extern from "gradcore/gradcore.h" nogil:
    int GRADCORE_VERSION_MAJOR
    int GRADCORE_VERSION_MINOR
    int GRADCORE_NUMERICS_VERSION

    ctypedef enum gradcore_status:
        GRADCORE_OK
        GRADCORE_INVALID
        GRADCORE_SHAPE
        GRADCORE_NO_MEMORY
        GRADCORE_BUSY
        GRADCORE_NONFINITE
        GRADCORE_NOT_FOUND
        GRADCORE_IO
        GRADCORE_FORMAT
        GRADCORE_STATE

    ctypedef struct gradcore_error:
        int32_t status
        char message[508]

    ctypedef enum gradcore_dtype:
        GRADCORE_FLOAT32
        GRADCORE_FLOAT64

    ctypedef struct gradcore_allocator:
        void *(*allocate)(void *context, size_t size, size_t alignment)
        void (*release)(void *context, void *pointer, size_t size)
        void *context

    # About this build and machine
    ctypedef struct gradcore_build_info:
        uint32_t size
        int32_t openmp
        const char *compiler
        const char *flags
        const char *isa
        const char *isa_reason
        int32_t threads
        const char *threads_reason
    void gradcore_get_build_info(gradcore_build_info *info)
    const char *gradcore_list(const char *family, int32_t index)
    const char *gradcore_describe(const char *family, const char *name, const char *property)

    # Networks
    ctypedef struct gradcore_network:
        pass
    enum:
        GRADCORE_LAYER_NO_BIAS
        GRADCORE_LAYER_NO_SCALE
        GRADCORE_LAYER_NO_SHIFT
        GRADCORE_LAYER_CUMULATIVE
        GRADCORE_LAYER_PROJECTION
        GRADCORE_LAYER_GAIN
        GRADCORE_LAYER_RESCALED
        GRADCORE_LAYER_CONTINUES
        GRADCORE_LAYER_SCHEDULED
        GRADCORE_LAYER_UNCERTAIN
        GRADCORE_FLUSH_DENORMALS
        GRADCORE_HEAD_NAME
        GRADCORE_MOST_HEADS
    ctypedef struct gradcore_layer:
        uint32_t size
        uint32_t flags
        const char *kind
        const char *activation
        int64_t units
        int64_t pieces
        double alpha
        double rate
        double momentum
        int64_t column
        int64_t width
        double initial
        double std
        double eps
        const char *name
    ctypedef struct gradcore_network_options:
        uint32_t size
        uint32_t flags
        int64_t inputs
        int32_t dtype
        int32_t threads
        const char *isa
        const gradcore_allocator *allocator
    gradcore_status gradcore_network_create(const gradcore_network_options *options,
                                            const gradcore_layer *layers, size_t layer_count,
                                            gradcore_network **out, gradcore_error *error)
    void gradcore_network_destroy(gradcore_network *network)

    ctypedef struct gradcore_network_info:
        uint32_t size
        int32_t dtype
        int64_t inputs
        int64_t outputs
        int64_t parameters
        int64_t elements
        int64_t layers
        int32_t threads
        int32_t reserved
        const char *isa
    void gradcore_network_get_info(const gradcore_network *network, gradcore_network_info *info)

    ctypedef struct gradcore_parameter_info:
        uint32_t size
        int32_t trainable
        const char *name
        const char *role
        int32_t ndim
        int32_t reserved
        int64_t rows
        int64_t cols
        const char *activation
        double alpha
    gradcore_status gradcore_network_parameter(const gradcore_network *network, int64_t index,
                                               gradcore_parameter_info *info)
    gradcore_status gradcore_network_read(gradcore_network *network, int64_t index, void *dst,
                                          gradcore_error *error)
    gradcore_status gradcore_network_write(gradcore_network *network, const void *const *src,
                                           gradcore_error *error)
    gradcore_status gradcore_network_initialize(gradcore_network *network, uint64_t seed,
                                                gradcore_error *error)
    gradcore_status gradcore_network_set_penalty(gradcore_network *network, int64_t index, double l1, double l2,
                                                 gradcore_error *error)
    gradcore_status gradcore_network_schedule_penalty(gradcore_network *network, int64_t index,
                                                      gradcore_error *error)
    gradcore_status gradcore_network_penalty(gradcore_network *network, double *value, gradcore_error *error)
    gradcore_status gradcore_network_predict(gradcore_network *network, const void *x, int64_t x_stride,
                                             int64_t rows, void *y, int64_t y_stride,
                                             gradcore_error *error)

    enum:
        GRADCORE_LOSS_BY_COUNT
        GRADCORE_LOSS_IGNORES
        GRADCORE_LOSS_PROBABILITIES
        GRADCORE_LOSS_PARAMETERS
    ctypedef struct gradcore_loss_options:
        uint32_t size
        uint32_t flags
        double parameters[4]
        const double *vector
        int64_t vector_size
        int32_t ignore_index
        int32_t reserved
    ctypedef struct gradcore_data:
        uint32_t size
        uint32_t reserved
        const void *x
        int64_t x_stride
        const void *target
        int64_t target_stride
        const double *weight
        int64_t rows
    ctypedef struct gradcore_score:
        uint32_t size
        uint32_t reserved
        double loss
        double accuracy
        double weight
        double divisor
    gradcore_status gradcore_network_evaluate(gradcore_network *network, const char *loss,
                                              const gradcore_data *data, gradcore_score *score,
                                              gradcore_error *error)
    gradcore_status gradcore_network_evaluate_loss(gradcore_network *network, const char *loss,
                                                   const gradcore_loss_options *options,
                                                   const gradcore_data *data, gradcore_score *score,
                                                   gradcore_error *error)

    # Passes
    ctypedef struct gradcore_pass:
        pass
    gradcore_status gradcore_pass_create(gradcore_network *network, int64_t capacity, gradcore_pass **out,
                                         gradcore_error *error)
    # Not called "pass" here: the word is reserved.
    void gradcore_pass_destroy(gradcore_pass *handle)
    gradcore_status gradcore_pass_forward(gradcore_pass *handle, const void *x, int64_t x_stride,
                                          int64_t rows, int32_t training, uint64_t seed, uint64_t step,
                                          void *y, int64_t y_stride, gradcore_error *error)
    gradcore_status gradcore_pass_backward(gradcore_pass *handle, const void *d_out, int64_t d_out_stride,
                                           void *d_x, int64_t d_x_stride, gradcore_error *error)
    gradcore_status gradcore_pass_gradient(gradcore_pass *handle, int64_t index, void *dst,
                                           gradcore_error *error)
    gradcore_status gradcore_pass_activation(gradcore_pass *handle, int64_t layer, int64_t *width,
                                             const char **name, void *dst, gradcore_error *error)

    # Training
    ctypedef struct gradcore_trainer:
        pass
    enum:
        GRADCORE_OPTIMIZER_MOMENTUM
        GRADCORE_OPTIMIZER_NESTEROV
        GRADCORE_OPTIMIZER_CENTERED
        GRADCORE_DECAY_ALL
        GRADCORE_OPTIMIZER_LR_IN_MOMENTUM
        GRADCORE_OPTIMIZER_EPS_INSIDE
        GRADCORE_OPTIMIZER_AMSGRAD
        GRADCORE_OPTIMIZER_EPS_HAT
        GRADCORE_OPTIMIZER_MAXIMIZE
        GRADCORE_OPTIMIZER_DECOUPLED
        GRADCORE_OPTIMIZER_CONSTANT_MOMENTUM
        GRADCORE_OPTIMIZER_TRUST_CLIP
        GRADCORE_OPTIMIZER_DECAY_IN_NORM
        GRADCORE_OPTIMIZER_SAFEGUARD
        GRADCORE_OPTIMIZER_CLIPPED
        GRADCORE_OPTIMIZER_CORRECTED
        GRADCORE_OPTIMIZER_UNCLAMPED
        GRADCORE_OPTIMIZER_OPTIONS
        GRADCORE_LR
        GRADCORE_WEIGHT_DECAY
        GRADCORE_CLIP
        GRADCORE_OWN
        GRADCORE_AVERAGE
        GRADCORE_HYPERS
        GRADCORE_SLOTS
        GRADCORE_RUNNING
        GRADCORE_AVERAGES
    ctypedef struct gradcore_loss_batch:
        uint32_t size
        uint32_t reserved
        int64_t rows
        int64_t outputs
        const int64_t *order
        int64_t first
        const void *target
        const void *output
        int64_t output_stride
        void *d_output
        int64_t d_output_stride
    ctypedef gradcore_status gradcore_loss_function(void *context, const gradcore_loss_batch *batch,
                                                    double *loss, gradcore_error *error)
    enum:
        GRADCORE_GRADIENT_SURGERY
    ctypedef struct gradcore_head_info:
        uint32_t size
        const char *name
        int64_t column
        int64_t width
    ctypedef struct gradcore_head_loss:
        uint32_t size
        const char *loss
        const gradcore_loss_options *options
        double weight
    ctypedef struct gradcore_head_data:
        uint32_t size
        const void *target
        int64_t target_stride
        const double *weight
    ctypedef struct gradcore_trainer_options:
        uint32_t size
        uint32_t flags
        const char *loss
        const char *optimizer
        const char *clip
        const char *nonfinite
        int64_t capacity
        uint64_t seed
        const gradcore_loss_options *loss_options
        gradcore_loss_function *loss_function
        void *loss_context
        const gradcore_head_loss *heads
        int64_t head_count
        uint32_t head_flags
    ctypedef struct gradcore_report:
        double loss
        double correct
        double weight
        double norm
        double scale
        int32_t applied
        int32_t rows
    ctypedef struct gradcore_run:
        uint32_t size
        uint32_t reserved
        const gradcore_data *data
        const int64_t *order
        int64_t begin
        int64_t end
        int64_t batch
        int64_t steps
        const double *hypers
        gradcore_report *reports
        int64_t done
        double (*scale)(void *context, double norm) noexcept
        void *scale_context
        double *heads
        double *ledger
    ctypedef struct gradcore_rule:
        uint32_t size
        uint32_t scheduled
        const char *name
        double limit
        double other
        double order
        const uint8_t *mask
        const void *const *keep
    gradcore_status gradcore_trainer_create(gradcore_network *network,
                                            const gradcore_trainer_options *options,
                                            gradcore_trainer **out, gradcore_error *error)
    void gradcore_trainer_destroy(gradcore_trainer *trainer)
    gradcore_status gradcore_trainer_reserve(gradcore_trainer *trainer, int64_t rows, gradcore_error *error)
    gradcore_status gradcore_network_branch(gradcore_network *network, gradcore_network **out, gradcore_error *error)
    gradcore_status gradcore_trainer_branch(gradcore_trainer *trainer, gradcore_network **network,
                                            gradcore_trainer **twin, gradcore_error *error)
    gradcore_status gradcore_trainer_run(gradcore_trainer *trainer, gradcore_run *run,
                                         gradcore_error *error)
    gradcore_status gradcore_trainer_set_rules(gradcore_trainer *trainer, const gradcore_rule *rules,
                                               size_t n, gradcore_error *error)
    gradcore_status gradcore_trainer_ledger(gradcore_trainer *trainer, double *ledger, gradcore_error *error)
    gradcore_status gradcore_trainer_gradients(gradcore_trainer *trainer, const gradcore_data *batch,
                                               gradcore_report *report, gradcore_error *error)
    gradcore_status gradcore_trainer_gradient(gradcore_trainer *trainer, int64_t index, void *dst,
                                              gradcore_error *error)
    gradcore_status gradcore_trainer_norms(gradcore_trainer *trainer, double *norms, gradcore_error *error)
    int32_t gradcore_trainer_state_slots(const gradcore_trainer *trainer)
    gradcore_status gradcore_trainer_state_read(gradcore_trainer *trainer, int32_t slot, int64_t index,
                                                void *dst, gradcore_error *error)
    gradcore_status gradcore_trainer_state_write(gradcore_trainer *trainer, int32_t slot, int64_t index,
                                                 const void *src, gradcore_error *error)
    gradcore_status gradcore_trainer_running_read(gradcore_trainer *trainer, double *running,
                                                  gradcore_error *error)
    gradcore_status gradcore_trainer_running_write(gradcore_trainer *trainer, const double *running,
                                                   gradcore_error *error)
    gradcore_status gradcore_trainer_accumulated_read(gradcore_trainer *trainer, double *numbers,
                                                      gradcore_error *error)
    gradcore_status gradcore_trainer_accumulated_write(gradcore_trainer *trainer, const double *numbers,
                                                       gradcore_error *error)
    int32_t gradcore_network_heads(const gradcore_network *network)
    gradcore_status gradcore_network_head(const gradcore_network *network, int64_t index, gradcore_head_info *info)
    gradcore_status gradcore_network_evaluate_heads(gradcore_network *network, const gradcore_head_loss *losses,
                                                    const gradcore_data *data, gradcore_score *scores,
                                                    gradcore_error *error)
    gradcore_status gradcore_trainer_conflicts(gradcore_trainer *trainer, double *ledger, gradcore_error *error)
    gradcore_status gradcore_trainer_add_average(gradcore_trainer *trainer, const char *kind, int64_t every,
                                                 int64_t start, gradcore_error *error)
    gradcore_status gradcore_trainer_write(gradcore_trainer *trainer, gradcore_network *network,
                                           const void *const *src, gradcore_error *error)
    gradcore_status gradcore_trainer_set_group(gradcore_trainer *trainer, int64_t index, double lr_factor,
                                               double weight_decay, int32_t frozen, gradcore_error *error)
    gradcore_status gradcore_trainer_set_matrices(gradcore_trainer *trainer, const uint8_t *mask, int64_t largest,
                                                  gradcore_error *error)
    int64_t gradcore_trainer_factor_order(const gradcore_trainer *trainer, int64_t index, int32_t side)
    gradcore_status gradcore_trainer_factor_read(gradcore_trainer *trainer, int64_t index, int32_t side, void *dst,
                                                 gradcore_error *error)
    gradcore_status gradcore_trainer_factor_write(gradcore_trainer *trainer, int64_t index, int32_t side,
                                                  const void *src, gradcore_error *error)
    void gradcore_trainer_get_progress(const gradcore_trainer *trainer, uint64_t *step, uint64_t *updates)
    gradcore_status gradcore_trainer_set_rates(gradcore_trainer *trainer, uint64_t first, int64_t steps,
                                               int64_t layers, const double *rates, gradcore_error *error)
    gradcore_status gradcore_pass_set_rates(gradcore_pass *handle, uint64_t first, int64_t steps,
                                            int64_t layers, const double *rates, gradcore_error *error)
    gradcore_status gradcore_trainer_set_progress(gradcore_trainer *trainer, uint64_t step, uint64_t updates,
                                                  gradcore_error *error)

    # Plain arrays
    ctypedef struct gradcore_array:
        int32_t dtype
        int32_t rows
        int64_t n
        void *w
        const void *g
        void *slots[4]
        double lr_factor
        double weight_decay
    gradcore_status gradcore_average(const char *kind, int64_t every, int64_t start, uint64_t step, double rate,
                                     int32_t dtype, int64_t n, void *w, void *average, gradcore_error *error)
    uint32_t gradcore_optimizer_slots(const char *optimizer, uint32_t flags)
    gradcore_status gradcore_optimizer_step(const char *optimizer, uint32_t flags, uint64_t step,
                                            const double *hypers, double *running, int64_t count,
                                            const gradcore_array *arrays, gradcore_error *error)
    gradcore_status gradcore_optimizer_update(const char *optimizer, int32_t dtype, uint32_t flags,
                                              uint64_t step, const double *hypers, int64_t n, void *w,
                                              const void *g, void *const *slots, gradcore_error *error)
    gradcore_status gradcore_gemm(int32_t dtype, int64_t m, int64_t n, int64_t k, const void *a,
                                  int64_t a_row, int64_t a_col, const void *b, int64_t b_row,
                                  int64_t b_col, const void *bias, void *c, int64_t ldc, int32_t threads,
                                  const char *isa, gradcore_error *error)
    ctypedef struct gradcore_product:
        uint32_t size
        int32_t dtype
        int64_t m, n, k
        const void *a
        int64_t a_row, a_col
        const void *b
        int64_t b_row, b_col
        int32_t packed, threads
        const void *bias
        void *c
        int64_t ldc
        const char *activation
        double alpha
        const char *isa
    gradcore_status gradcore_multiply(const gradcore_product *product, gradcore_error *error)
    int64_t gradcore_packed_size(int32_t dtype, int64_t k, int64_t n)
    gradcore_status gradcore_pack(int32_t dtype, int64_t k, int64_t n, const void *b, int64_t b_row,
                                  int64_t b_col, void *panels, gradcore_error *error)
    ctypedef struct gradcore_dense:
        uint32_t size
        int32_t dtype
        int64_t m, n, k
        const void *x
        int64_t x_row, x_col
        const void *w
        int64_t w_row, w_col
        const void *d_y
        int64_t ldd
        const void *z
        int64_t ldz
        const void *y
        int64_t ldy
        void *d_x
        void *d_w
        void *d_b
        const char *activation
        double alpha
        const char *isa
        int32_t threads
    gradcore_status gradcore_dense_backward(const gradcore_dense *dense, gradcore_error *error)
    gradcore_status gradcore_activation_forward(const char *name, int32_t dtype, double alpha, int64_t n,
                                                const void *x, void *y, gradcore_error *error)
    gradcore_status gradcore_activation_backward(const char *name, int32_t dtype, double alpha, int64_t n,
                                                 const void *x, const void *d_y, void *d_x,
                                                 gradcore_error *error)
    gradcore_status gradcore_loss(const char *name, int32_t dtype, int64_t rows, int64_t cols,
                                  const void *z, const void *target, double *losses, void *d,
                                  gradcore_error *error)
    gradcore_status gradcore_loss_rows(const char *name, const gradcore_loss_options *options, int32_t dtype,
                                       int64_t rows, int64_t cols, const void *z, const void *target,
                                       double *losses, void *d, gradcore_error *error)

    gradcore_status gradcore_optimizer_step_on(int32_t threads, const char *optimizer, uint32_t flags,
                                               uint64_t step, const double *hypers, double *running,
                                               int64_t count, const gradcore_array *arrays,
                                               gradcore_error *error)
    gradcore_status gradcore_activation(int32_t activation, int32_t dtype, double alpha, int64_t n,
                                        const void *x, const void *d_y, void *y, int32_t threads,
                                        gradcore_error *error)
    gradcore_status gradcore_softmax(int32_t dtype, int64_t rows, int64_t cols, const void *z, void *y,
                                     int32_t threads, gradcore_error *error)
    ctypedef enum gradcore_integer:
        GRADCORE_INT8
        GRADCORE_INT16
        GRADCORE_INT32
        GRADCORE_INT64
        GRADCORE_UINT8
        GRADCORE_UINT16
        GRADCORE_UINT32
        GRADCORE_UINT64
    ctypedef struct gradcore_loss_call:
        uint32_t size
        int32_t loss, dtype, threads
        int64_t rows, cols
        const void *z
        const void *target
        int64_t label_stride
        int32_t label_type, check_values
        double *losses
        void *d
        const gradcore_loss_options *options
    gradcore_status gradcore_loss_of(const gradcore_loss_call *call, gradcore_error *error)

    # Random numbers and initial values
    gradcore_status gradcore_fill(const char *kind, uint64_t seed, uint32_t stream, int64_t rows,
                                  int64_t cols, double a, double b, double *out, gradcore_error *error)
    gradcore_status gradcore_shuffle(uint64_t seed, uint64_t epoch, int64_t n, int64_t *order,
                                     gradcore_error *error)

    # Files
    ctypedef struct gradcore_tensor:
        const char *name
        const char *dtype
        int32_t ndim
        int32_t reserved
        int64_t shape[4]
        const void *data
        int64_t bytes
    ctypedef struct gradcore_pair:
        const char *key
        const char *value
    ctypedef struct gradcore_file:
        pass
    gradcore_status gradcore_file_save(const char *path, const gradcore_tensor *tensors, size_t n,
                                       const gradcore_pair *metadata, size_t n_metadata,
                                       gradcore_error *error)
    gradcore_status gradcore_file_open(const char *path, gradcore_file **out, gradcore_error *error)
    gradcore_status gradcore_file_encode(const gradcore_tensor *tensors, size_t n,
                                         const gradcore_pair *metadata, size_t n_metadata, void **bytes,
                                         size_t *size, gradcore_error *error)
    gradcore_status gradcore_file_decode(const void *bytes, size_t size, gradcore_file **out,
                                         gradcore_error *error)
    void gradcore_free(void *bytes)
    size_t gradcore_file_tensors(const gradcore_file *file)
    gradcore_status gradcore_file_tensor(const gradcore_file *file, size_t index, gradcore_tensor *out)
    size_t gradcore_file_pairs(const gradcore_file *file)
    gradcore_status gradcore_file_pair(const gradcore_file *file, size_t index, gradcore_pair *out)
    void gradcore_file_close(gradcore_file *file)
