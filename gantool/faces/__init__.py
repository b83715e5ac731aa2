"""Faces in pictures and videos: found, aligned to a crop of 128 px, followed, and put back.

>>> find = faces.load()
>>> (face,) = faces.chosen(find(picture), "largest")
>>> small = faces.crop(picture, face)
>>> whole = faces.paste(picture, changed(small), face)
"""

from gantool.faces.crops import crop as crop
from gantool.faces.crops import matched as matched
from gantool.faces.crops import oval as oval
from gantool.faces.crops import paste as paste
from gantool.faces.detector import Detector as Detector
from gantool.faces.detector import load as load
from gantool.faces.detector import yunet as yunet
from gantool.faces.drawn import looks_drawn as looks_drawn
from gantool.faces.face import Box as Box
from gantool.faces.face import Face as Face
from gantool.faces.face import box_of as box_of
from gantool.faces.face import chosen as chosen
from gantool.faces.face import which_of as which_of
from gantool.faces.face import without_inner as without_inner
from gantool.faces.face import yaw_of as yaw_of
from gantool.faces.tracking import Followed as Followed
from gantool.faces.tracking import Follower as Follower
from gantool.faces.turns import any_way_up as any_way_up
