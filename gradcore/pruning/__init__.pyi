from .magnitude import *
from .units import *
