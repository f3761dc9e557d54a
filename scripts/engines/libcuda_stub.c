/* A libcuda.so.1 for machines without an NVIDIA driver: SGLang's wheels link against the driver's library even when they
   serve from the CPU. Each call answers CUDA_ERROR_NO_DEVICE, so the callers find no GPU and go on.
   The names are the driver symbols which the pinned wheels (sglang.txt) leave undefined; install.sh says how to list them. */

#define CUDA_ERROR_NO_DEVICE 100

#define CALLS(X)                                                                                                       \
  X(cuCtxFromGreenCtx) X(cuCtxGetCurrent) X(cuCtxGetDevice) X(cuCtxGetId) X(cuCtxGetLimit) X(cuCtxPopCurrent_v2)       \
  X(cuCtxPushCurrent_v2) X(cuCtxResetPersistingL2Cache) X(cuCtxSetCurrent) X(cuCtxSetLimit)                            \
  X(cuDevResourceGenerateDesc) X(cuDevSmResourceSplitByCount) X(cuDeviceGet) X(cuDeviceGetAttribute)                   \
  X(cuDeviceGetDevResource) X(cuDeviceGetName) X(cuDevicePrimaryCtxGetState) X(cuDevicePrimaryCtxRetain)               \
  X(cuDriverGetVersion) X(cuFuncGetAttribute) X(cuFuncSetAttribute) X(cuFuncSetCacheConfig) X(cuGetErrorName)          \
  X(cuGetErrorString) X(cuGetExportTable) X(cuGetProcAddress_v2) X(cuGreenCtxCreate) X(cuGreenCtxDestroy)              \
  X(cuGreenCtxGetDevResource) X(cuInit) X(cuLaunchCooperativeKernel) X(cuLaunchKernel) X(cuLaunchKernelEx)             \
  X(cuLinkAddData_v2) X(cuLinkComplete) X(cuLinkCreate_v2) X(cuMemAddressFree) X(cuMemAddressReserve) X(cuMemCreate)   \
  X(cuMemGetAllocationGranularity) X(cuMemMap) X(cuMemRelease) X(cuMemSetAccess) X(cuMemUnmap) X(cuModuleGetFunction)  \
  X(cuModuleLoad) X(cuModuleLoadData) X(cuModuleLoadDataEx) X(cuModuleUnload)                                          \
  X(cuOccupancyMaxActiveBlocksPerMultiprocessor) X(cuPointerGetAttribute) X(cuStreamCreate) X(cuStreamSetAttribute)    \
  X(cuTensorMapEncodeIm2col) X(cuTensorMapEncodeTiled)

#define ANSWER(name) int name(void) { return CUDA_ERROR_NO_DEVICE; }
CALLS(ANSWER)
