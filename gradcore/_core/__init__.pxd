# The extension types, for other Cython modules: `from gradcore._core cimport CoreNetwork`.
from gradcore._core.network cimport CoreNetwork, Steps
from gradcore._core.passes cimport Pass
from gradcore._core.trainer cimport CoreTrainer
