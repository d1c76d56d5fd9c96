# SPDX-License-Identifier: Apache-2.0
"""What a protection costs: is the protected image still good for people, and for authorised use?"""
