from .base import *
from .constraints import *
from .gradients import *
from .statistics import *
