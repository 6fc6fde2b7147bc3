"""The mathematics: noise schedules, the denoiser interface, samplers, the noise field."""
