"""`python -m plankton_keras` is the same program as `plankton`."""

from plankton_keras.cli import main

if __name__ == "__main__":
    main()
