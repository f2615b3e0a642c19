"""``python -m routing_assets.cli``"""

from routing_assets.cli.main import main

main()
