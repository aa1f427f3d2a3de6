from .flow import *
