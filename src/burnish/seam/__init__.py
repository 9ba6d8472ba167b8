"""The verb `seam`: how well a reward model fits a policy, and which prompts to train the policy on."""
