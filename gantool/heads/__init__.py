"""Rendered faces: exact pairs of profile and front, with landmarks, from a morphable head.

>>> head = heads.load(Path("head.npz"))
>>> someone = heads.person(head, np.random.default_rng(1))
>>> side, front = heads.pair(someone, 60.0, np.random.default_rng(2))
"""

from gantool.heads.mesh import Head as Head
from gantool.heads.mesh import load as load
from gantool.heads.person import Person as Person
from gantool.heads.person import person as person
from gantool.heads.views import Trace as Trace
from gantool.heads.views import View as View
from gantool.heads.views import mirrored as mirrored
from gantool.heads.views import pair as pair
from gantool.heads.views import portrait as portrait
from gantool.heads.views import traced_pair as traced_pair
