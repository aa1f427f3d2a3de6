from .conjugate import *
from .lbfgs import *
from .levenberg import *
from .minimizing import *
from .newton import *
