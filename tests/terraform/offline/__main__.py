"""Any Terraform command without a cloud: ``python -m tests.terraform.offline -chdir=terraform/examples/… validate``."""

import os
import subprocess
import sys

from tests.terraform.offline.packages import schemas, types_used
from tests.terraform.offline.server import serving
from tests.terraform.offline.terraform import TREE, program


def main() -> int:
    """Run the command of the arguments and give its exit code."""
    with serving(schemas("older.lock", types_used(TREE))) as attached:
        return subprocess.call([program() or "terraform", *sys.argv[1:]], env=os.environ | attached)


if __name__ == "__main__":
    sys.exit(main())
