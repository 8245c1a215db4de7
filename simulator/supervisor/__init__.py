"""The supervisor: starts the platform's processes in order, keeps them alive, tells what happens, stops them."""
