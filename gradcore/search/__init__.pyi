from .backtracking import *
from .descent import *
from .space import *
from .sweep import *
from .trials import *
