"""What the recipes of super-resolution share: pairs, nets, critics, and two trainings.

A recipe makes a :class:`Learner` and says what is its own (net, losses, betas, rates) to :func:`by_pixels`,
which trains a net to come near to its photographs, or to :func:`against_critic`, to pass for them.
"""

from gantool.superres.adversarial import CRITICS as CRITICS
from gantool.superres.adversarial import AdversarialConfig as AdversarialConfig
from gantool.superres.adversarial import Game as Game
from gantool.superres.adversarial import against_critic as against_critic
from gantool.superres.adversarial import critic_of as critic_of
from gantool.superres.adversarial import layers_of as layers_of
from gantool.superres.adversarial import stepped as stepped
from gantool.superres.learner import Learner as Learner
from gantool.superres.nets import enlarger as enlarger
from gantool.superres.nets import generator as generator
from gantool.superres.nets import net_of as net_of
from gantool.superres.pairs import PairConfig as PairConfig
from gantool.superres.pairs import Pairs as Pairs
from gantool.superres.pixels import by_pixels as by_pixels
