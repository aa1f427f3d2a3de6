from . import callbacks as callbacks
from . import clipping as clipping
from . import datasets as datasets
from . import health as health
from . import initializers as initializers
from . import kernels as kernels
from . import losses as losses
from . import optimizers as optimizers
from . import pruning as pruning
from . import schedules as schedules
from . import search as search
from ._core import build_info as build_info
from ._core import names as names
from .alerts import *
from .errors import *
from .history import History as History
from .layers import *
from .network import Network as Network
from .trainer import Trainer as Trainer

__version__: str
