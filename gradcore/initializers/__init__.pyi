from ..network.whole_network_init import depth_scaled as depth_scaled
from ..network.whole_network_init import fixup as fixup
from ..network.whole_network_init import lsuv as lsuv
from .base import *
from .draws import *
from .gains import *
from .lookup import *
from .structured import *
