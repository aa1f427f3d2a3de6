from .base import *
from .cycles import *
from .decay import *
from .noise import *
from .phases import *
from .plateau import *
from .preview import *
