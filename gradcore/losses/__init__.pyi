from .base import *
from .classification import *
from .custom import *
from .lookup import *
from .penalties import *
from .penalty import *
from .per_head import *
from .regression import *
