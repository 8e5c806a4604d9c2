"""The fixture `house` for these tests, the same as that of the pages."""

from __future__ import annotations

from tests.console.conftest import four_eyes as four_eyes
from tests.console.conftest import house as house
from tests.console.conftest import operator as operator
from tests.console.conftest import site as site
