"""What happens at the piles themselves: patrols with their offline phones, and posters."""
