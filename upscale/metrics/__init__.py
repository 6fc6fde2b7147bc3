"""How good a result is: PSNR, SSIM, consistency, LPIPS."""
