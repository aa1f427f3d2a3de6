from .digits import *
from .encoding import *
from .idx import *
from .npz import *
from .tables import *
