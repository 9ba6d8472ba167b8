"""The commands that work on the folder of a refinement: diff, show, revert, push. Also the files of the folder."""
