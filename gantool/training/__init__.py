"""What every recipe needs around its loop: run folder, resume, EMA, devices, samples, log, export.

Functions, not a trainer: the loop stays in the recipe, where it can be read.
"""

from gantool.training.fabric import channels_last as channels_last
from gantool.training.fabric import fabric_for as fabric_for
from gantool.training.fabric import grad_norm as grad_norm
from gantool.training.fabric import micro_batches as micro_batches
from gantool.training.fabric import set_up as set_up
from gantool.training.fabric import share_of as share_of
from gantool.training.game import Game as Game
from gantool.training.game import GameConfig as GameConfig
from gantool.training.game import adam as adam
from gantool.training.game import frozen as frozen
from gantool.training.game import judge as judge
from gantool.training.health import Health as Health
from gantool.training.loop import Loop as Loop
from gantool.training.paths import located as located
from gantool.training.pictures import save_grid as save_grid
from gantool.training.pictures import to_image as to_image
from gantool.training.request import TrainRequest as TrainRequest
from gantool.training.run import Run as Run
from gantool.training.run import open_run as open_run
from gantool.training.run import saved_config as saved_config
from gantool.training.run import trained_row as trained_row
from gantool.training.schedule import cosine as cosine
from gantool.training.schedule import halved as halved
from gantool.training.schedule import linear_decay as linear_decay
from gantool.training.schedule import set_lr as set_lr
from gantool.training.state import Ema as Ema
from gantool.training.state import load_last as load_last
from gantool.training.state import save_last as save_last
from gantool.training.state import seed_step as seed_step
from gantool.training.state import start_from as start_from
